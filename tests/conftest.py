import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("brief", settings.get_profile("suite"), max_examples=5)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
