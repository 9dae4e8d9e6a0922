"""`nines calibrate`: chooses a classifier's threshold by a rule, fits a calibration map, and writes both beside it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.config import compose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from datamodules.completions import LabelledCompletions

SEEN = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`nines calibrate` has no options of its own beside overrides and configuration."""
    parser.set_defaults(command="calibrate")


def run(arguments: argparse.Namespace) -> int:
    """Choose, calibrate, and write `threshold.json`, `calibration.json` and figures; nothing is written on failure."""
    from apps.validation import validate

    config = compose("calibrate", arguments.overrides, config_dir=arguments.config_dir)
    validate(config, root="calibrate")
    found = Calibration.compute(config)
    found.write()
    print(found.as_text())
    return 0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """All that `nines calibrate` finds out.

    Attributes:
        folder: Where it is written.
        threshold: Content of `threshold.json`.
        curves: Content of `calibration.json`: trade-off, reliability diagrams, margin of safety.
        figures: Name to pixels, `(height, width, 3)`.
    """

    folder: Path
    threshold: dict[str, Any]
    curves: dict[str, Any]
    figures: dict[str, NDArray[np.uint8]]

    @classmethod
    def compute(cls, config: DictConfig) -> Calibration:
        """Score the rows in float32, whatever precision the classifier was trained in, and do everything on them.

        Raises:
            UserError: The configuration contradicts itself, or the rows cannot carry what was asked for.
        """
        from apps.calibration_curves import curves_of, figures_of
        from apps.threshold_rules import choose, refuse_unused
        from datamodules.completions import LabelledCompletions
        from lightning_modules.prediction import Predictor, locate_checkpoint
        from nines.errors import ConfigError
        from nines.files import require_writable
        from nines.statistics.thresholds import default_population

        refuse_unused(config)
        if config.split == SEEN:
            raise ConfigError(
                f"split={SEEN}: the classifier was trained on these rows, so they promise nothing; use valid"
            )
        checkpoint, beside = locate_checkpoint(Path(config.classifier))
        folder = Path(config.output) if config.output else beside.parent
        require_writable(folder, key="output" if config.output else "classifier")
        predictor = Predictor.load(config.classifier, device=config.device, batch_size=config.batch_size)
        data = LabelledCompletions(
            path=config.path, tokenizer=predictor.tokenizer.source, max_tokens=predictor.module.max_tokens
        )
        data.setup("validate")
        rows = data.rows(config.split)
        population = config.population or default_population(rows)
        rows.weights_of(population)  # refuses an unknown one before the scoring
        scores = predictor.scores(data.texts(config.split))
        chosen, quality = choose(config, scores, data, predictor, population=population)
        calibration, curves = curves_of(config, scores, data, predictor, chosen=chosen, population=population)
        curves["quality"] = quality
        return cls(
            folder=folder,
            threshold={
                **chosen.as_json(),
                "population": population,
                "unsure": config.unsure,
                "chosen_on": config.split,
                **_provenance(config, data, checkpoint),
                "calibration": calibration,
            },
            curves=curves,
            figures=figures_of(curves, chosen.threshold) if config.figures else {},
        )

    def write(self) -> None:
        """Write every file as a whole, the threshold last: it is what others read."""
        from callbacks.rendering import save_png
        from nines.files import write_json
        from nines.run_folder import RunFolder

        for name, pixels in self.figures.items():
            save_png(pixels, self.folder / "figures" / f"calibrate_{name}.png")
        write_json(self.folder / "calibration.json", self.curves)
        write_json(RunFolder(self.folder).threshold, self.threshold)

    def as_text(self) -> str:
        """What to know of it, in some lines."""
        content, settings = self.threshold, self.threshold["settings"]
        asked = ", ".join(f"{name} {value:g}" for name, value in settings.items())
        lines = [
            f"threshold {content['threshold']:.6g}: accepts what scores below it",
            f"  rule         {content['rule']} ({asked}), on {content['items']} rows of {content['prompts']} prompts",
            f"  guarantee    {content['guarantee']}",
            *(f"  assumes      {assumption}" for assumption in content["assumptions"]),
            *(f"  {name:<12} {text}" for name, text in self.curves["summary"].items()),
            f"written: threshold.json, calibration.json{' and figures/' if self.figures else ''} in {self.folder}",
        ]
        return "\n".join(lines)


def _provenance(config: DictConfig, data: LabelledCompletions, checkpoint: Path) -> dict[str, Any]:
    """On what data, by which checkpoint and program."""
    import hashlib

    from datamodules.fingerprint import rows_fingerprint
    from nines import __version__
    from nines.threshold_file import CALIBRATE

    rows = data.completions(config.split)
    with checkpoint.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "data": {
            "path": config.path,
            "split": config.split,
            "rows": len(rows),
            "fingerprint": rows_fingerprint(rows),
        },
        "checkpoint": {"file": checkpoint.name, "sha256": digest},
        "precision": "float32",
        "written_by": CALIBRATE,
        "version": __version__,
    }
