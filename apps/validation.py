"""Checks a composed configuration against the constructors that it names, before anything is built.

Importing those constructors imports torch, so help and `--cfg job` never come here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from apps.root_schemas import ROOT_SCHEMAS
from apps.signatures import call_problems, import_target
from nines.errors import ConfigError, UserError, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig

BY_HYDRA = frozenset({"_target_", "_partial_", "_convert_", "_recursive_", "_args_"})


# Plain mappings that a constructor hands on: by its arguments, the dataclass whose fields the mapping must fit.
PAIR_MODULE = {
    "model": "nines.models.classifier.PairClassifierOptions",
    "dropout": "nines.models.dropout.DropoutOptions",
    "optimizer": "lightning_modules.optimizers.OptimizerOptions",
}
PASSED_ON = {
    "lightning_modules.classifier.CompletionClassifier": PAIR_MODULE,
    "lightning_modules.reward_model.RewardModel": PAIR_MODULE,
    "lightning_modules.language_model.LanguageModelTraining": {
        "model": "nines.models.language_model.LanguageModelOptions",
        "optimizer": "lightning_modules.optimizers.OptimizerOptions",
    },
    "lightning_modules.ppo_generator.PPOGenerator": {
        "model": "nines.models.language_model.LanguageModelOptions",
        "sampling": "nines.policies.options.SamplingOptions",
        "evaluation": "nines.policies.options.SamplingOptions",
        "ppo": "nines.rl.options.PPOOptions",
        "optimizer": "lightning_modules.optimizers.OptimizerOptions",
    },
}

# Values that a command replaces before the constructor sees them.
REPLACED = {"trainer.precision": ("auto",)}


def validate(config: DictConfig, *, root: str = "train") -> None:
    """Check the keys and the value types of `config`, all at once.

    Values that are still to be filled in (`???`) are left out.

    Args:
        config: A composed configuration.
        root: The root file that it came from; its own keys are checked against `apps.root_schemas`.

    Raises:
        ConfigError: One line for each problem: the dotted key, its value, and what was expected.
    """
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    if not isinstance(content, dict):
        raise ConfigError(f"the configuration {root!r} is no mapping")
    values = {str(key): value for key, value in content.items()}
    problems: list[str] = []
    if root in ROOT_SCHEMAS:
        problems += call_problems(ROOT_SCHEMAS[root], values, where="", name=root)
    problems += _walk(values, "")
    if not problems:
        problems += _objective_problems(values)
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        raise ConfigError("\n".join([f"{len(problems)} problems in the configuration:", *(f"  {p}" for p in problems)]))


def _objective_problems(values: Mapping[str, Any]) -> list[str]:
    """An objective that the module never logs would otherwise end the run at its first validation, an epoch later."""
    objective, module = values.get("objective"), values.get("module")
    if objective is None or not isinstance(module, dict) or "_target_" not in module:
        return []
    # Modules that do not say what they log are taken at the user's word.
    known = getattr(import_target(module["_target_"]), "objectives", None)
    if known is None or objective in known:
        return []
    return [f"objective = {objective!r}: the module logs no such figure at a validation; {nearest(objective, known)}"]


def _walk(node: Any, where: str) -> Iterator[str]:
    if isinstance(node, list):
        for position, item in enumerate(node):
            yield from _walk(item, f"{where}[{position}]")
    if not isinstance(node, dict):
        return
    passed_on: Mapping[str, str] = {}
    if "_target_" in node:
        passed_on = PASSED_ON.get(str(node["_target_"]), {})
        yield from _target_problems(node, where)
    for key, value in node.items():
        below = f"{where}.{key}" if where else str(key)
        if key in passed_on and isinstance(value, dict):
            yield from _passed_on_problems(value, below, to=passed_on[key])
        yield from _walk(value, below)


def _target_problems(node: Mapping[str, Any], where: str) -> list[str]:
    try:
        constructor = import_target(node["_target_"])
    except ConfigError as error:
        return [f"{where}._target_ = {node['_target_']!r}: {error}"]
    arguments = {
        key: value
        for key, value in node.items()
        if key not in BY_HYDRA and value not in REPLACED.get(f"{where}.{key}", ())
    }
    return call_problems(
        constructor,
        arguments,
        where=where,
        name=str(node["_target_"]),
        complete=not node.get("_partial_"),
        present=frozenset(node),
    )


def _passed_on_problems(arguments: dict[str, Any], where: str, *, to: str) -> list[str]:
    options = import_target(to)
    if problems := call_problems(options, arguments, where=where, name=to):
        return problems
    try:
        options(**arguments)  # checks ranges, and how the values go together
    except UserError as error:
        return [str(error)]
    return []
