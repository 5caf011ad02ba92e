"""How the page looks: one sheet, light and dark, wide and narrow. Named in the CSP by its hash, so it is the only one.

On a phone every table row becomes a card, with the column's name (`data-label`) before each value.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#646b73;--line:#e3e6e8;--paper:#fbfbfa;--card:#fff;
--good:#1a7f4b;--warn:#a86400;--bad:#c8302b;--none:#7d858c}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7ea;--soft:#98a1a9;--line:#2b3137;--paper:#14171a;--card:#1b1f23;
--good:#4cc38a;--warn:#e5a13d;--bad:#ff7069;--none:#8a939b}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2.5rem 1.25rem 3rem;max-width:70rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}
h1{margin:0;font-size:2.1rem;font-weight:650;line-height:1.15;letter-spacing:-.02em;color:var(--tone)}
h1::before{content:"";display:inline-block;width:.55em;height:.55em;margin-right:.4em;border-radius:50%;
background:var(--tone);vertical-align:.08em}
h2{margin:2.5rem 0 .5rem;font-size:.8rem;font-weight:600;letter-spacing:.08em;text-transform:uppercase;
color:var(--soft)}
h3{margin:0;font-size:1.08rem;font-weight:600;line-height:1.35}
p{margin:.3rem 0}
.why{margin-top:.6rem;font-size:1.15rem}
.soft,time{color:var(--soft)}
time{white-space:nowrap}
.good{--tone:var(--good)}.warning,.warn{--tone:var(--warn)}.critical,.bad{--tone:var(--bad)}
.info,.none{--tone:var(--none)}
.state{color:var(--tone);font-weight:600;white-space:nowrap}
article{margin:.75rem 0;padding:1rem 1.15rem;background:var(--card);border:1px solid var(--line);
border-left:4px solid var(--tone);border-radius:6px}
article .todo{margin-top:.6rem}
article .todo+.todo{margin-top:.2rem}
code{font:.9em/1.4 ui-monospace,SFMono-Regular,Menlo,monospace;user-select:all}
pre{margin:.7rem 0 0;padding:.6rem .75rem;background:var(--paper);border-radius:4px;color:var(--soft);
font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;white-space:pre-wrap}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:6px}
th,td{padding:.5rem .8rem;text-align:left;vertical-align:top}
th{font-size:.8rem;font-weight:500;color:var(--soft);white-space:nowrap}
td{border-top:1px solid var(--line)}
td:first-child{overflow-wrap:break-word}
.n{text-align:right;white-space:nowrap}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--line);font-size:.85rem;color:var(--soft)}
a{color:inherit}
@media (max-width:40rem){
body{padding-top:1.5rem}
h1{font-size:1.75rem}
thead{display:none}
tr{display:block;padding:.5rem 0;border-top:1px solid var(--line)}
tbody tr:first-child{border-top:0}
td,td.n{display:flex;gap:1rem;padding:.15rem .9rem;border:0;text-align:left;white-space:normal}
td:first-child{overflow-wrap:anywhere}
td::before{content:attr(data-label);flex:0 0 6.5rem;color:var(--soft);font-size:.85rem;line-height:1.75}
}
""".strip()
