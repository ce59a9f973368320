"""What the unit tests share: how Hypothesis searches."""

import hypothesis

# No deadlines, which would depend on how busy the machine is; the same examples in every run, so that failures repeat.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")
