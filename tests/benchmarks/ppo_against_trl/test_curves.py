from pathlib import Path

from matplotlib.image import imread

from benchmarks.ppo_against_trl.curves import draw, summary

CURVES = {
    "nines": [
        {"score": [-0.5, -0.2, -0.1], "kl": [0.0, 1.0, 2.0]},
        {"score": [-0.7, -0.4, -0.3], "kl": [0.0, 1.0, 3.0]},
    ],
    "TRL 1.12": [{"score": [-0.5, -0.5, -0.5], "kl": [0.0, 0.0, 0.0]}] * 2,
}


def test_both_sides_are_drawn_into_one_small_picture(tmp_path: Path) -> None:
    draw(CURVES, tmp_path / "ppo.png", batch=8, caption="caption")
    assert (tmp_path / "ppo.png").stat().st_size < 100_000
    colours = {tuple((255 * pixel[:3]).round().astype(int)) for row in imread(tmp_path / "ppo.png") for pixel in row}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_the_summary_has_first_and_last_over_seeds_and_their_range() -> None:
    ours, _ = summary(CURVES, last=2).splitlines()
    assert "reward -0.600 -> -0.250 (-0.350 to -0.150)" in ours
    assert "KL 0.000 -> 1.750 (1.500 to 2.000)" in ours
