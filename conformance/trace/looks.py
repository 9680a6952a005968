"""Colours and strokes of pictures, for light and dark, and what they mean."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--bg:#ffffff;--ink:#1f2937;--soft:#6b7280;--hair:#d7dce3;--band:#f1f4f8;--chip:#ffffff;
--follower:#9aa7b8;--prevote:#fcd34d;--candidate:#f59e0b;--leader:#16a34a;--fault:#dc2626; --vote:#a85a06;
--append:#15803d;--quiet:#7b8794;--snapshot:#0e7490;--actor:#2563eb;--control:#7c3aed;--error:#dc2626}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--ink:#e6edf3;--soft:#98a2b0;--hair:#303844;
--band:#1a212b; --chip:#161c25;--follower:#66758a;--prevote:#a37c12;--candidate:#f59e0b;--leader:#22c55e;
--fault:#f87171; --vote:#fbbf24;--append:#4ade80;--quiet:#8b96a5;--snapshot:#22d3ee;--actor:#7ab0ff;
--control:#b79cff;--error:#f87171}}
.bg{fill:var(--bg)}
text{fill:var(--ink)}
.title{font-size:16px;font-weight:600}
.soft{fill:var(--soft)}
.time{fill:var(--soft);font-size:11px;text-anchor:end;font-variant-numeric:tabular-nums}
.box{fill:var(--band);stroke:var(--hair)}
.name{font-size:13px;font-weight:600;text-anchor:middle}
.follower{fill:var(--follower)}
.prevote{fill:var(--prevote)}
.candidate{fill:var(--candidate)}
.leader{fill:var(--leader)}
.absent{stroke:var(--hair);stroke-width:1.5;stroke-dasharray:2 4}
.down{stroke:var(--fault);stroke-width:1.5;stroke-dasharray:3 5;opacity:.7}
.paused{stroke:var(--follower);stroke-width:6;stroke-dasharray:2 4}
.arrow{fill:none;stroke-width:1.6}
.arrow.quiet,.arrow.control{stroke-width:1.1}
.arrow.broken{stroke-dasharray:5 4}
.cross{fill:none;stroke:var(--fault);stroke-width:2.2}
.label{paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round}
.middle{text-anchor:middle}
.msg:hover .arrow{stroke-width:3}
.band{fill:var(--band)}
.label.inband{stroke:var(--band)}
.rule{stroke:var(--soft);stroke-dasharray:6 4;fill:none}
.rule.fault{stroke:var(--fault)}
rect.chip,rect.turn{fill:var(--chip);stroke:var(--soft)}
rect.turn.lead{fill:var(--leader);stroke:none}
rect.turn.fault{fill:var(--fault);stroke:none}
text.words{text-anchor:middle;font-size:11.5px}
text.turn{font-weight:600}
text.turn.lead,text.turn.fault{fill:var(--bg)}
text.fault.label{fill:var(--fault)}
.arrow.vote{stroke:var(--vote)}
.head.vote{fill:var(--vote)}
text.vote{fill:var(--vote)}
.arrow.append{stroke:var(--append)}
.head.append{fill:var(--append)}
text.append{fill:var(--append)}
.arrow.quiet{stroke:var(--quiet)}
.head.quiet{fill:var(--quiet)}
text.quiet{fill:var(--quiet)}
.arrow.snapshot{stroke:var(--snapshot)}
.head.snapshot{fill:var(--snapshot)}
text.snapshot{fill:var(--snapshot)}
.arrow.actor{stroke:var(--actor)}
.head.actor{fill:var(--actor)}
text.actor{fill:var(--actor)}
.arrow.control{stroke:var(--control)}
.head.control{fill:var(--control)}
text.control{fill:var(--control)}
.arrow.error{stroke:var(--error)}
.head.error{fill:var(--error)}
text.error{fill:var(--error)}
"""

LEGEND: Final = (
    ("line", "follower", "follower"),
    ("line", "prevote", "asks for pre-votes"),
    ("line", "candidate", "candidate"),
    ("line", "leader", "leader"),
    ("thin", "down", "down"),
    ("thin", "paused", "paused"),
    ("arrow", "vote", "votes"),
    ("arrow", "append", "entries"),
    ("arrow", "quiet", "heartbeat"),
    ("arrow", "snapshot", "snapshot"),
    ("arrow", "actor", "actors"),
    ("arrow", "control", "hello, ping"),
    ("arrow", "error", "refused, wrong"),
)
"""Shape, class and meaning."""
