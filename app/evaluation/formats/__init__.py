"""An evaluation as sentences, as JSON and as the data of charts."""

from app.evaluation.formats.charts import charts
from app.evaluation.formats.wire import sentences, verdict_as_json

__all__ = ["charts", "sentences", "verdict_as_json"]
