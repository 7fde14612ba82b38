"""Settings that all tests share."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A shell starts what runs in the background deaf to Ctrl-C, and so would be all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run and every machine; a partition may take long on a busy one.
settings.register_profile(
    "polyregions",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# pytest --hypothesis-profile=thorough: many more, and others each time.
settings.register_profile(
    "thorough", settings.get_profile("polyregions"), derandomize=False, max_examples=2000
)
settings.load_profile("polyregions")
