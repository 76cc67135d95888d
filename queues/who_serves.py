"""Who may serve a queue: the stored settings, read into a value. Pure.

{"allowed_agent_ids": [member id, ...],           empty: everybody
 "skills_required": [skill slug, ...],            an agent needs all of them
 "skill_levels": {slug: lowest level, ...},       of required skills; 1 when not named
 "skills_preferred": [{"skill": slug, "level": 1-5, "relax_after": seconds}, ...]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from queues.eligibility import Preference

KEYS = {"allowed_agent_ids", "skills_required", "skill_levels", "skills_preferred"}
LONGEST = 24 * 3600  # seconds a preference may hold


@dataclass(frozen=True, slots=True)
class WhoServes:
    allowed_agent_ids: frozenset[UUID] = frozenset()
    required: Mapping[str, int] = field(default_factory=dict)
    preferred: tuple[Preference, ...] = ()

    @property
    def skills(self) -> set[str]:
        return {*self.required, *(p.skill for p in self.preferred)}

    @classmethod
    def read(cls, stored: Any) -> WhoServes:
        """Raises ValueError with a sentence that says what is wrong."""
        if not isinstance(stored, dict):
            raise ValueError("The settings are an object.")
        if unknown := set(stored) - KEYS:
            raise ValueError(
                f"Unknown settings: {', '.join(sorted(unknown))}. Known: {', '.join(sorted(KEYS))}."
            )
        ids, skills = stored.get("allowed_agent_ids", []), stored.get("skills_required", [])
        if not _texts(ids) or not _texts(skills):
            raise ValueError("allowed_agent_ids and skills_required are lists of texts.")
        levels = stored.get("skill_levels", {})
        if not isinstance(levels, dict) or not all(_level(level) for level in levels.values()):
            raise ValueError("skill_levels gives each skill a level from 1 to 5.")
        if stray := set(levels) - set(skills):
            raise ValueError(f"skill_levels names skills that are not required: {', '.join(sorted(stray))}.")
        return cls(
            frozenset(_uuid(pk) for pk in ids),
            {skill: levels.get(skill, 1) for skill in skills},
            tuple(_preference(item) for item in _objects(stored.get("skills_preferred", []))),
        )


def _preference(item: Mapping[str, Any]) -> Preference:
    skill, level, seconds = item.get("skill"), item.get("level", 1), item.get("relax_after", 0)
    whole = isinstance(seconds, int) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST
    if (
        set(item) - {"skill", "level", "relax_after"}
        or not isinstance(skill, str)
        or not _level(level)
        or not whole
    ):
        raise ValueError(
            "A preferred skill has skill, level (1 to 5) and relax_after (seconds, at most a day)."
        )
    return Preference(skill, level, timedelta(seconds=seconds))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("skills_preferred is a list of objects.")
    return value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _level(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise ValueError(f"{value} is not the id of a member.") from error
