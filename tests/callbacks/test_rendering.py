import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from callbacks.rendering import add_caption, add_legend, as_image, new_figure, save_png
from nines.errors import StorageError


def test_pixels_have_the_size_of_the_figure_and_show_what_was_drawn():
    figure = new_figure(width=3.0, height=2.0, title="")
    blank = as_image(figure)
    figure.subplots().plot([0, 1], [0, 1], color="#FF0000")
    drawn = as_image(figure)
    assert blank.shape == drawn.shape == (200, 300, 3)
    assert (blank == 255).all()
    assert (np.abs(drawn.astype(int) - [255, 0, 0]).sum(axis=-1) < 30).any()


def test_a_png_is_written_whole(tmp_path):
    image = as_image(new_figure(width=3.0, height=2.0, title="title"))
    save_png(image, tmp_path / "figures" / "a.png")
    assert (imread(tmp_path / "figures" / "a.png")[..., :3] * 255).round() == pytest.approx(image)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["a.png"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "figures").write_text("a file in the way")
    with pytest.raises(StorageError, match="cannot write"):
        save_png(np.zeros((2, 2, 3), dtype=np.uint8), tmp_path / "figures" / "a.png")


def test_a_caption_is_wrapped_to_the_width():
    figure = new_figure(width=4.0, height=2.0, title="")
    add_caption(figure, "word " * 40)
    longest = max(len(line) for line in figure.get_supxlabel().splitlines())
    assert 40 < longest <= 4 * 17


def test_axes_without_labels_get_no_legend():
    axes = new_figure(width=4.0, height=2.0, title="").subplots()
    add_legend(axes)
    assert axes.get_legend() is None
    axes.plot([0], [0], label="a")
    add_legend(axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a"]


def test_drawing_needs_no_pyplot():
    code = "import sys, callbacks.rendering as r; r.as_image(r.new_figure(width=1, height=1, title='')); "
    checked = subprocess.run([sys.executable, "-c", code + "sys.exit('matplotlib.pyplot' in sys.modules)"], check=False)
    assert checked.returncode == 0
