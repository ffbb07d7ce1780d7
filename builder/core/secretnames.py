"""Names that promise a secret: what stands behind them is neither printed nor recorded."""

from __future__ import annotations

import re
from functools import lru_cache

# As in BuildKit's SecretsUsedInArgOrEnv, so that the check and whatever hides values agree.
_LIKELY = r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)"
_UNLIKELY = r"(?:_|^)(?:public|file|version)(?:_|$)"


@lru_cache(maxsize=1024)  # each step of a long Dockerfile asks the same names
def looks_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret."""
    return bool(re.search(_LIKELY, name, re.IGNORECASE)) and not re.search(_UNLIKELY, name, re.IGNORECASE)
