"""Strings that run, break out or hide where they are not taken as text."""

from __future__ import annotations

STRINGS = [
    "<script>window['__pwned']=1</script>",
    "<img src=x onerror=window['__pwned']=1>",
    "<svg/onload=window['__pwned']=1>",
    "<svg><script>alert(1)</script></svg>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "javascript:window['__pwned']=1",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</script><script>window['__pwned']=1</script>",
    "</style><script>window['__pwned']=1</script>",
    "<!--<script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<iframe srcdoc=\"<script>parent['__pwned']=1</script>\"></iframe>",
    "<a href=\"javascript:window['__pwned']=1\">click</a>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//192:80/x>",
    "<base href=//192:80/>",
    "<meta http-equiv=refresh content='0;url=//192:80/'>",
    "<details open ontoggle=window['__pwned']=1>",
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "${window['__pwned']=1}",
    "{{constructor['constructor']('alert(1)')()}}",
    "\\u003cscript>alert(1)\\u003c/script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "$\\href{javascript:alert(1)}{x}$",
    "__proto__",
    "constructor",
    "\u202egnp\u202c \u200b\ufeff",
]

ELEMENTS = (
    "script, img, iframe, object, embed, a, style, link, base, meta, math, form, details, svg"
)
"""None of these is made by a widget."""
