from itertools import islice

import pytest
import torch

from datamodules.prompts import Prompts
from nines.errors import ConfigError, DataError


def test_an_epoch_takes_each_prompt_once_in_full_batches():
    data = Prompts(batch_size=16, limit_prompts=100)
    data.setup("fit")
    batches = [batch["row"] for batch in data.train_dataloader()]
    assert [len(batch) for batch in batches] == [16] * 6
    assert len(set(torch.cat(batches).tolist())) == 96


def test_a_resumed_order_goes_on_where_it_stopped():
    whole = [batch["row"].tolist() for batch in Prompts(batch_size=8, limit_prompts=64, seed=3).train_dataloader()]
    loader = Prompts(batch_size=8, limit_prompts=64, seed=3).train_dataloader()
    first = [batch["row"].tolist() for batch in islice(loader, 3)]
    resumed = Prompts(batch_size=8, limit_prompts=64, seed=3).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert first + [batch["row"].tolist() for batch in resumed] == whole
    other = [batch["row"].tolist() for batch in Prompts(batch_size=8, limit_prompts=64, seed=4).train_dataloader()]
    assert other != whole


def test_held_out_prompts_are_the_same_whatever_share_is_trained_on():
    first, second = Prompts(share=[0.0, 0.3], evaluation_prompts=20), Prompts(share=[0.3, 1.0], evaluation_prompts=20)
    assert first.texts("valid") == second.texts("valid")
    assert len(first.texts("valid")) == 20
    assert not set(first.texts("train")) & set(second.texts("train"))
    assert not set(first.texts("valid")) & set(first.texts("train"))
    rows = torch.cat([batch["row"] for batch in first.val_dataloader()])
    assert sorted(rows.tolist()) == list(range(20))


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match="evaluation_prompts=0"):
        Prompts(evaluation_prompts=0)
    with pytest.raises(ConfigError, match=r"\[start, end\]"):
        Prompts(share=[0.5])
    with pytest.raises(DataError, match="no prompts for 'train'"):
        Prompts(share=[0.0, 1e-9]).setup("fit")
    with pytest.raises(DataError, match="no split 'tset'"):
        Prompts().texts("tset")
