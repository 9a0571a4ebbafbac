"""What the pages show of runs: curves, settings, and the picture of a lineage."""

from app.runs.formats.comparison import (
    MOST,
    Side,
    charts_together,
    evaluations_of,
    figures_of,
    settings_of,
)
from app.runs.formats.curves import CURVES, MORE, Chart, charts_of
from app.runs.formats.evaluation import Shares, mistakes, share_charts
from app.runs.formats.model_card import card_of
from app.runs.formats.picture import Picture, picture
from app.runs.formats.settings import (
    PREFIX,
    SettingField,
    changed_for,
    given_settings,
    setting_groups,
    typed_settings,
)
from app.runs.formats.texts import Story, stories
from app.runs.formats.troubles import Remedy, Trouble, trouble_of

__all__ = [
    "CURVES",
    "MORE",
    "MOST",
    "PREFIX",
    "Chart",
    "Picture",
    "Remedy",
    "SettingField",
    "Shares",
    "Side",
    "Story",
    "Trouble",
    "card_of",
    "changed_for",
    "charts_of",
    "charts_together",
    "evaluations_of",
    "figures_of",
    "given_settings",
    "mistakes",
    "picture",
    "setting_groups",
    "settings_of",
    "share_charts",
    "stories",
    "trouble_of",
    "typed_settings",
]
