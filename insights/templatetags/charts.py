"""Template tags that draw charts on the server: `{% bars %}` and `{% heat %}`."""

from __future__ import annotations

from typing import Any

from django import template

from insights.charts import Bars, Heat, drawn_bars, drawn_heat

register = template.Library()


@register.inclusion_tag("insights/_bars.html")
def bars(chart: Bars) -> dict[str, Any]:
    """Bars with their figures as a table below."""
    return {"drawn": drawn_bars(chart)}


@register.inclusion_tag("insights/_heat.html")
def heat(chart: Heat) -> dict[str, Any]:
    """A field per line and column, the darker the more, with its figures as a table below."""
    return {"drawn": drawn_heat(chart)}
