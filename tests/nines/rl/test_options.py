import pytest

from nines.errors import ConfigError
from nines.rl.options import PPOOptions


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"discount": 1.5}, r"discount must lie in \[0, 1\]"),
        ({"clip_range": 0.0}, "clip_range must be above 0"),
        ({"stop_kl": -1.0}, "stop_kl must be above 0"),
        ({"entropy_coefficient": -0.1}, "must not be negative"),
        ({"keep_best": 0.0}, "keep_best"),
        ({"advantage": "leave_one_out", "completions_per_prompt": 1}, "leave_one_out compares"),
        ({"method": "rejection_sampling", "completions_per_prompt": 1}, "rejection_sampling compares"),
        ({"keep_siblings_together": True, "minibatch_size": 6}, "multiple of completions_per_prompt"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_reason(arguments, word):
    with pytest.raises(ConfigError, match=word):
        PPOOptions(**arguments)


def test_only_advantage_estimation_with_a_baseline_of_its_own_trains_the_value_head():
    assert PPOOptions().needs_values
    assert not PPOOptions(advantage="leave_one_out").needs_values
    assert not PPOOptions(method="rejection_sampling").needs_values
