"""A small YAML tree for the tests of configuration, help and completion, independent of the shipped one."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "train.yaml": """\
# Train something small
defaults:
  - module: small
  - imbalance: none
  - extra: null
  - _self_
name: small      # readable part
seed: 0
rate: 0.5
whole: 2.0
quiet: true
must: ???
reference: ${module.size}
""",
    "module/small.yaml": """\
# A small module
size: 3
optimizer:
  lr: 1.0e-3
  betas: [0.9, 0.999]
""",
    "imbalance/none.yaml": """\
# @package module.loss
# Nothing done about imbalance
kind: plain
""",
    "imbalance/focal.yaml": """\
# @package module.loss

# Down-weights easy rows
gamma: 2.0
""",
    "imbalance/sharp.yaml": """\
# @package module.loss
defaults:
  - focal
  - _self_
alpha: 0.25
""",
    "imbalance/dangling.yaml": """\
# @package module.loss
gamma: ${nowhere.at.all}
""",
    "extra/more.yaml": """\
# @package _global_
# Sets two things at once
rate: 0.75
module:
  size: 5
""",
    "unused/thing.yaml": "x: 1\n",
}


def write_tree(folder: Path) -> Path:
    """Write the tree below `folder` and return it."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
