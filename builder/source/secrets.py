"""Secrets of the session that requests carry."""

from __future__ import annotations

from builder.core.job import Job


def has_secret(job: Job, name: str) -> bool:
    """Whether the session has a secret of that name; reads nothing."""
    return name in job.session.secrets


def secret_line(job: Job, name: str) -> str | None:
    """Its first line, for a header: what follows would become another one. None: there is none."""
    load = job.session.secrets.get(name)
    data = load() if load is not None else None
    if data is None:
        return None
    lines = data.decode("utf-8", "surrogateescape").strip().splitlines()
    return lines[0] if lines else ""
