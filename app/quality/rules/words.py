"""Numbers as sentences have them."""


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"
