"""`lightning_modules.deepspeed_universal` reaches into DeepSpeed: what it needs there, seen in one version.

Whoever raises the version runs the slow tests that go on with other numbers of ranks, and then changes `SEEN` here.
"""

import inspect
from importlib.metadata import version

import pytest

SEEN = "0.19.8"

pytest.importorskip("deepspeed")


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


def test_the_version_is_the_one_whose_private_names_were_read() -> None:
    assert version("deepspeed") == SEEN, (
        f"deepspeed {version('deepspeed')} is not {SEEN}, where lightning_modules/deepspeed_universal.py cures "
        "faults by private names: run tests/integration/test_sharded_checkpoints.py -m '' and see whether they are left"
    )


def test_the_engine_still_learns_from_its_configuration_that_a_checkpoint_is_universal() -> None:
    from deepspeed.runtime.config import DeepSpeedConfig
    from deepspeed.runtime.engine import DeepSpeedEngine

    assert "self.load_universal_checkpoint = " in source(DeepSpeedConfig)
    assert "self._config.load_universal_checkpoint" in source(DeepSpeedEngine.load_universal_checkpoint)
    for name in ("basic_optimizer", "checkpoint_engine"):
        assert f"self.{name} = " in source(DeepSpeedEngine), name


def test_stages_1_and_2_still_load_shares_by_the_method_that_is_replaced() -> None:
    from deepspeed.runtime.base_optimizer import ZeROOptimizer
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
    from deepspeed.utils.tensor_fragment import tensor_fragment

    name = "load_hp_checkpoint_state_from_checkpoint_dir"
    method = getattr(ZeROOptimizer, name)
    assert hasattr(DeepSpeedZeroOptimizer, name)
    assert list(inspect.signature(method).parameters)[1:] == ["lp_groups_name", "checkpoint_dir"]
    for used in ("_hp_mapping", "get_optim_state_keys()", "load_hp_checkpoint_state(", "self.param_names"):
        assert used in source(method), used
    assert hasattr(tensor_fragment, "get_optim_state_keys")
