"""`python -m bench.server module:application port`: serve as `manage.py up` does."""

from __future__ import annotations

import sys

import uvicorn


def main(application: str, port: str) -> None:
    uvicorn.run(
        application, host="127.0.0.1", port=int(port), lifespan="off", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
