import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.labelling import Labelling, labelled_targets
from datamodules.mixture import MixtureOptions, make_mixture, ratio_counts
from datamodules.schema import LabelledCompletion
from nines.errors import ConfigError

BOTH_CLASSES = st.lists(st.sampled_from(["yes", "no", "unsure"]), min_size=2, max_size=120).filter(
    lambda labels: {"yes", "no"} <= set(labels)
)
RATIOS = st.sampled_from([0.5, 1.0, 2.0, 10.0, 28.0, 100.0])


def rows_of(labels: list[str], *, source: str = "written") -> list[LabelledCompletion]:
    return [
        LabelledCompletion(
            prompt=f"prompt {number}", completion="c", label=label, id=f"row{number}", prompt_id=f"p{number}",
            source=source,
        )  # type: ignore[arg-type]
        for number, label in enumerate(labels)
    ]  # fmt: skip


def generated(label: str, *, probability: float, drawn: int, name: str) -> LabelledCompletion:
    return dataclasses.replace(
        rows_of([label], source="generated")[0], id=name, selection_probability=probability, drawn=drawn
    )


@given(safe=st.integers(1, 5000), injurious=st.integers(1, 5000), ratio=st.floats(0.05, 200))
def test_a_ratio_keeps_one_class_whole_and_is_off_by_less_than_one_row(safe: int, injurious: int, ratio: float) -> None:
    kept_safe, kept_injurious = ratio_counts(safe, injurious, safe_per_injurious=ratio)
    assert 1 <= kept_safe <= safe
    assert 1 <= kept_injurious <= injurious
    assert kept_safe == safe or kept_injurious == injurious, "more rows could have been kept"
    rounded_class = kept_injurious if kept_safe == safe else kept_safe
    exact = safe / ratio if kept_safe == safe else ratio * injurious
    assert abs(rounded_class - exact) <= 0.5 or rounded_class == 1


@given(labels=BOTH_CLASSES, ratio=RATIOS, seed=st.integers(0, 1000))
def test_the_mixture_has_the_counts_that_it_states(labels: list[str], ratio: float, seed: int) -> None:
    mixture = make_mixture(rows_of(labels), MixtureOptions(safe_per_injurious=ratio, seed=seed))
    safe, injurious = ratio_counts(labels.count("no"), labels.count("yes"), safe_per_injurious=ratio)
    kept = [labels[row] for row in mixture.rows]
    assert (kept.count("no"), kept.count("yes"), kept.count("unsure")) == (safe, injurious, 0)
    assert mixture.counts() == pytest.approx((injurious, safe))


@given(labels=BOTH_CLASSES, ratio=RATIOS, seed=st.integers(0, 1000), shuffle=st.randoms())
def test_the_same_rows_in_another_order_give_the_same_mixture(
    labels: list[str], ratio: float, seed: int, shuffle: object
) -> None:
    rows = rows_of(labels)
    shuffled = list(rows)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    options = MixtureOptions(safe_per_injurious=ratio, unsure="soft", seed=seed)
    kept = {rows[row].id for row in make_mixture(rows, options).rows}
    assert kept == {shuffled[row].id for row in make_mixture(shuffled, options).rows}


def test_a_more_skewed_mixture_has_a_subset_of_the_injurious_rows() -> None:
    rows = rows_of(["yes"] * 300 + ["no"] * 600)
    kept = [
        {int(row) for row in make_mixture(rows, MixtureOptions(safe_per_injurious=ratio)).rows if row < 300}
        for ratio in (10, 28, 100)
    ]
    assert [len(each) for each in kept] == [60, 21, 6]
    assert kept[2] < kept[1] < kept[0]


def test_another_seed_keeps_other_rows() -> None:
    rows = rows_of(["yes"] * 50 + ["no"] * 500)
    one, other = (make_mixture(rows, MixtureOptions(safe_per_injurious=1, seed=seed)).rows.tolist() for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize(
    ("unsure", "targets", "counts"),
    [
        ("drop", [1.0, 0.0, 0.0, -1.0], (1.0, 2.0)),
        ("soft", [1.0, 0.0, 0.0, 0.5], (1.5, 2.5)),
        ("injurious", [1.0, 0.0, 0.0, 1.0], (2.0, 2.0)),
    ],
)
def test_unsure_rows_are_dropped_or_soft_or_injurious(
    unsure: str, targets: list[float], counts: tuple[float, float]
) -> None:
    mixture = make_mixture(rows_of(["yes", "no", "no", "unsure"]), MixtureOptions(unsure=unsure))  # type: ignore[arg-type]
    assert mixture.targets.tolist() == targets
    assert mixture.counts() == counts


def test_a_skewed_mixture_thins_soft_rows_with_the_rare_class() -> None:
    rows = rows_of(["yes"] * 100 + ["no"] * 100 + ["unsure"] * 40)
    mixture = make_mixture(rows, MixtureOptions(safe_per_injurious=10, unsure="soft"))
    # 100 safe, 10 of 100 injurious, so 4 of 40 unsure: counts 10 + 2 and 100 + 2.
    assert mixture.counts() == (12.0, 102.0)


def test_natural_weights_take_generated_rows_only_and_have_mean_one() -> None:
    rows = [
        generated("yes", probability=1.0, drawn=10, name="a"),  # 1 / 10
        generated("no", probability=0.5, drawn=10, name="b"),  # 1 / 5
        generated("no", probability=0.25, drawn=4, name="c"),  # 1
        *rows_of(["yes", "no"]),
    ]
    mixture = make_mixture(rows, MixtureOptions(loss_weights="natural"))
    assert mixture.rows.tolist() == [0, 1, 2]
    # Raw weights 0.1, 0.2, 1.0 have mean 1.3 / 3.
    np.testing.assert_allclose(mixture.weights, [0.3 / 1.3, 0.6 / 1.3, 3.0 / 1.3, 0, 0], rtol=1e-6)
    assert mixture.counts() == pytest.approx((0.3 / 1.3, 3.6 / 1.3))
    assert sum(mixture.counts()) == pytest.approx(3)


def test_natural_weights_without_generated_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="loss_weights=natural trains on generated rows only"):
        make_mixture(rows_of(["yes", "no"]), MixtureOptions(loss_weights="natural"))


@given(labels=BOTH_CLASSES, ratio=st.sampled_from([0.5, 1.0, 3.0]), epoch=st.integers(0, 5), seed=st.integers(0, 99))
def test_oversampling_repeats_rows_and_leaves_none_out(labels: list[str], ratio: float, epoch: int, seed: int) -> None:
    options = MixtureOptions(resampling="oversample", resampling_ratio=ratio, unsure="soft", seed=seed)
    mixture = make_mixture(rows_of(labels), options)
    drawn = mixture.draw(epoch)
    times = np.bincount(drawn, minlength=len(labels))
    assert times.min() >= 1
    for label in ("yes", "no"):
        of_class = times[[row for row, other in enumerate(labels) if other == label]]
        assert of_class.max() - of_class.min() <= 1, "one row is repeated more than the others of its class"
    assert times[[row for row, label in enumerate(labels) if label == "unsure"]].sum() == labels.count("unsure")
    targets = mixture.targets[drawn].astype(float)
    assert mixture.counts() == pytest.approx((targets.sum(), (1 - targets).sum()))
    safe, injurious = (targets == 0).sum(), (targets == 1).sum()
    assert abs(safe - ratio * injurious) <= max(0.5, 0.5 * ratio) + 1e-9


@given(labels=BOTH_CLASSES, epoch=st.integers(0, 5), seed=st.integers(0, 99))
def test_undersampling_leaves_rows_out_and_repeats_none(labels: list[str], epoch: int, seed: int) -> None:
    mixture = make_mixture(rows_of(labels), MixtureOptions(resampling="undersample", seed=seed))
    drawn = mixture.draw(epoch)
    rare = min(labels.count("yes"), labels.count("no"))
    assert len(set(drawn.tolist())) == len(drawn) == 2 * rare
    assert mixture.counts() == pytest.approx((rare, rare))


def test_undersampling_draws_other_rows_in_each_epoch_and_the_same_in_the_same() -> None:
    mixture = make_mixture(rows_of(["yes"] * 5 + ["no"] * 500), MixtureOptions(resampling="undersample"))
    assert mixture.draw(0).tolist() == mixture.draw(0).tolist()
    assert mixture.draw(0).tolist() != mixture.draw(1).tolist()
    every = {row for epoch in range(1500) for row in mixture.draw(epoch).tolist()}
    assert len(every) == 505


def test_only_the_named_sources_are_trained_on() -> None:
    rows = [*rows_of(["yes", "no"], source="plain"), *rows_of(["yes", "no"], source="written")]
    assert make_mixture(rows, MixtureOptions(sources=("written",))).rows.tolist() == [2, 3]


def test_an_unknown_source_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'written'"):
        make_mixture(rows_of(["yes", "no"]), MixtureOptions(sources=("writen",)))


def test_a_mixture_without_one_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="no injurious row is left"):
        make_mixture(rows_of(["no", "no", "unsure"]), MixtureOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unsure": "sfot"}, "did you mean 'soft'"),
        ({"loss_weights": "nature"}, "did you mean 'natural'"),
        ({"resampling": "over"}, "valid: none, oversample, undersample"),
        ({"safe_per_injurious": 0}, "must be above 0"),
        ({"safe_per_injurious": float("nan")}, "must be above 0"),
        ({"resampling_ratio": -1}, "must be above 0"),
    ],
)
def test_options_out_of_range_are_refused_with_what_is_valid(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MixtureOptions(**options)  # type: ignore[arg-type]


def test_targets_of_simulated_readers_count_as_the_class_that_is_likelier() -> None:
    rows = rows_of(["yes"] * 200 + ["no"] * 400)
    soft = MixtureOptions(
        labelling=Labelling(readings=3, missed=0.2, false_alarms=0.1, aggregate="soft"), safe_per_injurious=1.0
    )
    mixture = make_mixture(rows, soft)
    kept = mixture.targets[mixture.rows]
    assert (kept > 0.5).sum() == (kept < 0.5).sum()
    assert set(np.round(np.unique(kept) * 3)) == {0, 1, 2, 3}
    assert sorted(mixture.draw(0)) == mixture.rows.tolist()
    assert sum(mixture.counts()) == pytest.approx(len(kept))


@pytest.mark.parametrize(("unsure", "target"), [("drop", -1.0), ("soft", 0.5), ("injurious", 1.0)])
def test_tied_votes_are_treated_like_rows_that_are_unsure(unsure: str, target: float) -> None:
    labelling = Labelling(readings=2, missed=0.3, false_alarms=0.3)
    rows = rows_of(["yes"] * 200 + ["no"] * 400)
    tied = labelled_targets(np.repeat(np.float32([1, 0]), [200, 400]), [row.id for row in rows], labelling) == 0.5
    mixture = make_mixture(rows, MixtureOptions(labelling=labelling, unsure=unsure))  # type: ignore[arg-type]
    assert tied.sum() > 100
    assert (mixture.targets[tied] == target).all()


def test_a_budget_that_buys_one_class_only_is_refused() -> None:
    rows = rows_of(["yes"] + ["no"] * 400)
    with pytest.raises(ConfigError, match="label_budget"):
        make_mixture(rows, MixtureOptions(labelling=Labelling(budget=3)))
