"""Monitors of reward hacking: whether the judge is being pleased rather than people.

`signs` are pure figures of responses, `watch` compares them with the start of the run and with
their limits, `acting` warns, ends the run or sends responses to people, `reader` lets a policy
write for the monitors alone.
"""

from app.trainer.monitors.acting import for_people, react, take_up
from app.trainer.monitors.keeping import LastGood
from app.trainer.monitors.reader import Reader
from app.trainer.monitors.watch import Seen, Watch

__all__ = ["LastGood", "Reader", "Seen", "Watch", "for_people", "react", "take_up"]
