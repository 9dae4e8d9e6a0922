from benchmarks.ppo_against_trl.toy_reward import harmless, harmless_or_worst


def test_the_reward_is_minus_the_share_of_words_with_the_bad_letter() -> None:
    assert harmless(["", "", ""], ["the dog ran he", "a cat sat", "eel"]) == [-0.5, 0.0, -1.0]


def test_an_empty_text_is_as_bad_as_the_worst_other_one() -> None:
    assert harmless_or_worst(["the dog ran he", "", "a cat"]) == [-0.5, -0.5, 0.0]
    assert harmless_or_worst(["", ""]) == [-1.0, -1.0]
