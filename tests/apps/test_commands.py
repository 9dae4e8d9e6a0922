import importlib

import pytest

from apps.commands import COMMANDS, Command
from apps.config import config_folder


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_with_its_two_functions(name):
    module = importlib.import_module(f"apps.{name}")
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_root_of_a_command_is_a_file(name):
    command = COMMANDS[name]
    for root in (command.config_root, command.shown_root, *command.roots_by_key.values()):
        assert root is None or (config_folder() / f"{root}.yaml").is_file()


def test_a_key_asks_for_another_root():
    command = Command("measure", config_root="evaluate", roots_by_key={"policy": "evaluate_policy"})
    assert command.root_for(["classifier=x"]) == "evaluate"
    assert command.root_for(["classifier=x", "policy=base"]) == "evaluate_policy"
    assert command.root_for(["policy"]) == "evaluate"
