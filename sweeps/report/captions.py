"""What each figure of the report tells its reader to look for."""

TRIALS = (
    "Each point is a trial; the line is the best completed one so far. A line that still improves at the end says that "
    "more trials may help."
)
TIME = "The completed trials by the clock."
CURVES = (
    "The objective on validation data as reported during training. The best trials are in colour; dashed lines did not "
    "complete (▼ pruned, ✕ failed). Curves that still improve at the end ask for more steps."
)
PARETO = "Trials on the front, with their numbers, are beaten by no other trial in all objectives at once."
SLICES = (
    "Each point is a set of parameters (mean over its seeds, the bar from the lowest to the highest), the best set in "
    "orange. A trend here may belong to another parameter that the sampler moved along with this one."
)
HEAT = (
    "The best set in each cell, with the number of sets. If clipping lets the learning rate rise, its rows stay good "
    "further to the right than the row without clipping."
)
STRATEGIES = (
    "Rings are sets of parameters (means over their seeds); the blue point is the best set of that choice, with its "
    "95 % interval over seeds where there are repeats (cut at the edge where it is wider than the plot)."
)
DIFFERENCES = (
    "Each pair of choices after tuning: those in orange differ by more than the noise after Holm's correction over all "
    "pairs. The intervals are not corrected."
)
METHOD = (
    "“Tuned, unbiased” predicts each seed by the others: the set is chosen by its mean over all other seeds and "
    "counts with its value at this one, because the mean of the set that looks best is too favourable. "
    "Differences are between such values at equal numbers of sets, paired by seed. Their intervals cover the "
    "seeds (with the correction of Nadeau and Bengio 2003 for choices that overlap) and, unless both choices were "
    "tried with the same other settings, the luck of which settings were tried (a bootstrap over the sets as if "
    "drawn at random; a sampler that learns draws them less so). The p-values are corrected for the number of "
    "pairs (Holm 1979)."
)


def importance(*, sets: int, conditional: bool, left_out: int) -> str:
    """The caption of the importance figure.

    Args:
        sets: Number of completed sets of parameters.
        conditional: Whether a bar belongs to a parameter that exists only under a condition.
        left_out: Number of pruned and failed trials.
    """
    text = (
        f"Functional ANOVA over {sets} completed sets of parameters (means over their seeds). The line is the "
        "range over resampled sets; bars whose lines overlap are in no certain order."
    )
    if conditional:
        text += " A parameter with a condition is judged among the sets that have it, so its bar has another base."
    if left_out:
        text += f" Trials that were pruned or failed ({left_out}) are left out, which hides part of the bad regions."
    return text
