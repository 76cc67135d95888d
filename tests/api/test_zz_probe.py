import asyncio, pytest
from django.test import AsyncClient
from tests.api.caller import Caller, outside
@pytest.mark.django_db(transaction=True)
def test_x(olivia, support, rival_agent):
    h=[Caller.of(olivia).headers, Caller.of(rival_agent).headers]
    async def go():
        c=AsyncClient()
        return await asyncio.gather(*[c.get("/api/v1/queues", headers=h[i%2]) for i in range(20)])
    with outside():
        rs=asyncio.run(go())
    assert [len(r.json()["results"]) for r in rs]==[1,0]*10
