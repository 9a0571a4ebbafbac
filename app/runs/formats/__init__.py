"""What the pages show of runs: curves, settings, and the picture of a lineage."""

from app.runs.formats.curves import CURVES, MORE, Chart, charts_of
from app.runs.formats.evaluation import Shares, mistakes, share_charts
from app.runs.formats.picture import Picture, picture
from app.runs.formats.settings import SettingField, given_settings, setting_groups

__all__ = [
    "CURVES",
    "MORE",
    "Chart",
    "Picture",
    "SettingField",
    "Shares",
    "charts_of",
    "given_settings",
    "mistakes",
    "picture",
    "setting_groups",
    "share_charts",
]
