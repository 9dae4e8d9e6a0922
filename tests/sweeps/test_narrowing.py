from sweeps.narrowing import narrow, split_overrides

SPACE = {"clipping": "choice(none, norm, value)", "lr": "interval(0, 1)"}
CONDITIONS = {
    "clipping=norm": {"max_norm": "interval(0.1, 10)"},
    "clipping=norm,value": {"kind": "choice(a, b)", "kind=b": {"depth": "range(3)"}},
}


def keys(space):
    return {(parameter.key, " and ".join(map(str, parameter.when))) for parameter in space.parameters}


def test_a_fixed_choice_settles_the_conditions_on_it():
    space, everywhere = narrow(SPACE, CONDITIONS, swept={}, fixed={"clipping": "value"})
    assert keys(space) == {("lr", ""), ("kind", ""), ("depth", "kind=b")}
    assert everywhere == {"clipping": "value"}


def test_a_fixed_parameter_that_exists_under_a_condition_stays_there():
    space, everywhere = narrow(SPACE, CONDITIONS, swept={}, fixed={"max_norm": "2"})
    assert everywhere == {}
    assert space.overrides({"clipping": "norm", "lr": 0.5, "kind": "a"}) == [
        "clipping=norm",
        "lr=0.5",
        "max_norm=2",
        "kind=a",
    ]
    assert "max_norm=2" not in space.overrides({"clipping": "none", "lr": 0.5})


def test_a_parameter_freed_and_fixed_at_once_holds_in_every_trial():
    space, everywhere = narrow(SPACE, CONDITIONS, swept={}, fixed={"clipping": "norm", "max_norm": "2"})
    assert everywhere == {"clipping": "norm", "max_norm": "2"}
    assert keys(space) == {("lr", ""), ("kind", ""), ("depth", "kind=b")}


def test_a_set_of_values_replaces_that_of_the_file_where_it_stands():
    space, _ = narrow(
        SPACE, CONDITIONS, swept={"max_norm": "choice(3, 4)", "lr": "choice(5, 6)", "new": "1,2"}, fixed={}
    )
    grids = {parameter.key: parameter.domain.grid(2) for parameter in space.parameters}
    assert (grids["max_norm"], grids["lr"], grids["new"]) == ([3, 4], [5, 6], [1, 2])
    assert ("max_norm", "clipping=norm") in keys(space)
    assert ("new", "") in keys(space)


def test_nothing_given_changes_nothing():
    space, everywhere = narrow(SPACE, CONDITIONS, swept={}, fixed={})
    assert (space.parameters_source, space.conditions_source, everywhere) == (SPACE, CONDITIONS, {})


def test_sets_of_values_are_told_from_single_ones():
    swept, fixed = split_overrides(["model=tiny", "a.b=choice(1,2)", "c=1,2", "+d=x", "~e"])
    assert swept == {"a.b": "choice(1,2)", "c": "1,2"}
    assert fixed == ["model=tiny", "+d=x", "~e"]
