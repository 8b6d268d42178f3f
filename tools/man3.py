#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages of section 3, made from the public headers, which are the only source of them.

man3.py write [INCLUDE MAN]    writes MAN/hardy_*.3, one a header, and removes those that no header is behind
man3.py check [INCLUDE MAN]    says which pages are not what the headers say, and what the headers do not explain
man3.py install MANDIR         for `meson install`: the pages, and a link for each function and type to its page

What it understands of a header: the first comment is the description. A comment right above a declaration, or
behind it on its line, belongs to it; one with an empty line below it is text between the functions; `--- text ---`
is a heading. In comments: empty lines part paragraphs, lines that are indented by four and more stay as they are,
lines that begin with "- " are a list, `this` is code, *this* is emphasised. What every init function and every
member `size` is need not be explained again.
"""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATE = "November 29, 2026"
LIBRARIES = {"durable": "hardy-durable"}  # the others are in hardy
ATTRIBUTES = ("HARDY_API", "HARDY_MUST_USE", "HARDY_PRINTF(text, first)")
INIT = "Sets every member of `%s` to its default; `size` is sizeof(%s)."
SIZE = "sizeof(%s)"


# --- reading a header ------------------------------------------------------------------------------------------

class Item:
    """kind: function, struct, enum, opaque, callback, macro, table (an X macro), text, heading."""

    def __init__(self, kind, name, text="", doc="", line=0):
        self.kind, self.name, self.text, self.doc, self.line = kind, name, text, doc, line
        self.members = []  # (declaration or enumerator, doc)


def for_c(text):
    """Without what is there for C++ or for one compiler, line for line."""
    out, skipping = [], []
    for line in text.split("\n"):
        word = line.strip()
        if word.startswith("#if"):
            skipping.append("__cplusplus" in word or "__GNUC__" in word)
        elif word.startswith("#else"):
            skipping[-1] = False
        elif word.startswith("#endif"):
            skipping.pop()
        elif not any(skipping):
            out.append(line)
            continue
        out.append("")
    return "\n".join(out)


def tokens(text):
    """(kind, text, line): comment, directive, newlines, space, or a piece of a declaration."""
    pattern = re.compile(r"(?P<comment>/\*.*?\*/)|(?P<directive>^#(?:\\\n|(?!/\*)[^\n])*)|(?P<newline>\n)|(?P<space>[ \t]+)|"
                         r"(?P<code>[{}();,]|[^\s{}();,/]+|/)", re.S | re.M)
    line = 1
    for match in pattern.finditer(text):
        yield match.lastgroup, match.group(), line
        line += match.group().count("\n")


def comment_text(raw):
    lines = raw[2:-2].split("\n")
    lines = [lines[0].strip()] + [re.sub(r"^\s*\* ?|^\s+(?!\s*\*)", "", line).rstrip() for line in lines[1:]]
    return "\n".join(lines).strip()


def joined(*docs):
    return "\n".join(doc for doc in docs if doc)


def pieces(text, end):
    """[code, doc, line] of what ends with `end` at depth 0, each with its comments; ["", doc, line] of a comment that
    stands for itself; [directive, doc, line]."""
    found, code, inside, above, depth, start, same_line, empty = [], "", "", None, 0, 0, False, 0
    for kind, token, line in tokens(text):
        if kind == "newline":
            same_line, empty = False, empty + 1
            if empty == 2 and above and not code:
                found.append(["", *above])
                above = None
            code += "\n" if code else ""
            continue
        if kind != "space":
            empty = 0
        if kind == "comment":
            if code:
                inside = joined(inside, comment_text(token)) if depth == 0 else inside
                code += token if depth else ""
            elif same_line and found:
                found[-1][1] = joined(found[-1][1], comment_text(token))
            else:
                if above:
                    found.append(["", *above])
                above = (comment_text(token), line)
        elif kind == "directive" and not code:
            found.append([token.strip(), above[0] if above else "", line])
            above, same_line = None, True
        elif kind != "space" or code:
            start = start if code else line
            depth += (token in "{(") - (token in "})")
            if token == end and depth == 0:
                found.append([code.strip(), joined(above[0] if above else "", inside), start])
                code, inside, above, same_line = "", "", None, True
            else:
                code += token
    if code.strip():
        found.append([code.strip(), joined(above[0] if above else "", inside), start])
    return found


def plain(code):
    code = re.sub(r"/\*.*?\*/|\bHARDY_PRINTF\([^)]*\)|\bHARDY_(API|MUST_USE)\b|\b_Alignas\(\d+\)", " ", code, flags=re.S)
    return re.sub(r"\s+", " ", code).strip()


def declared(code, doc, line):
    code, bare = code.strip(), plain(code)
    body = re.match(r"typedef (struct|enum) \w+ \{(.*)\} ?(\w+)$", code, re.S)
    if body:
        item = Item(body.group(1), body.group(3), doc=doc, line=line)
        for member, text, _ in pieces(body.group(2), ";" if item.kind == "struct" else ","):
            if member and not member.startswith("#") and "(X)" not in member:
                size = SIZE % item.name if plain(member) == "size_t size" else ""
                item.members.append((plain(member), text or size))
        return item
    for kind, pattern in (("callback", r"typedef .*\(\*(\w+)\)\("), ("opaque", r"typedef struct (\w+) \1$"),
                          ("function", r".*?\b(hardy_\w+)\(")):
        match = re.match(pattern, bare)
        init = re.search(r"_init\((\w+) \*(\w+), size_t size\)", bare)
        if match:
            return Item(kind, match.group(1), bare, doc or (INIT % init.group(2, 1) if init else ""), line)
    raise SystemExit(f"tools/man3.py: line {line}: what is this? {bare}")


def defined(code, doc, line):
    name, value = re.match(r"#define\s+(\w+(?:\([^)]*\))?)\s*(.*)", code.replace("\\\n", "\n"), re.S).groups()
    if not name.endswith("(X)"):
        return Item("macro", name, re.sub(r"\s+", " ", value), doc, line)
    item = Item("table", name[:-3], doc=doc, line=line)
    for row in re.findall(r'X\((\w+), (-?\d+), (\w+),\s*"([^"]*)"\)', value):
        item.members.append(row)
    return item


class Header:
    def __init__(self, path):
        self.name = path.stem
        self.page = "hardy" if self.name == "hardy" else "hardy_" + self.name
        self.description, self.items, self.includes = "", [], []
        for code, doc, line in pieces(for_c(path.read_text(encoding="utf-8")), ";"):
            if code.startswith("#define") and not code.endswith("_H") and not code.startswith("#define X("):
                self.items.append(defined(code, doc, line))
            elif code.startswith("#"):
                self.includes += re.findall(r"<hardy/(\w+)\.h>", code)
                self.describe(doc)
            elif code:
                self.items.append(declared(code, doc, line))
            else:
                self.describe(doc) or self.items.append(Item(
                    "heading" if doc.startswith("---") else "text", "", doc.strip("- "), line=line))

    def describe(self, doc):
        """The first comment that is not the licence."""
        if not self.description and not doc.startswith("SPDX"):
            self.description = doc
            return True
        return doc.startswith("SPDX")

    def of(self, *kinds):
        return [item for item in self.items if item.kind in kinds]

    def one_line(self):
        text = re.sub(r"\s*\([^)]*\)", "", " ".join(self.description.split("\n\n")[0].split()))
        short = re.match(r"[^:.]*", text).group()
        if len(short) < 20:
            short = re.match(r"[^,.]*", text).group()
        return short[:1].lower() + short[1:]


# --- writing a page --------------------------------------------------------------------------------------------

def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def styled(text):
    """A line of prose."""
    out = []
    for piece in re.split(r"(`[^`]+`|(?<![\w*])\*\w[\w ]*\*(?!\w)|\bhardy_\w+\(\)|\bHARDY_[A-Z]\w+|\b\w+\.h\b(?!>))", text):
        if piece[:1] == "`" and len(piece) > 1:
            out.append("\\fB%s\\fP" % escaped(piece[1:-1]))
        elif re.fullmatch(r"\*\w[\w ]*\*", piece):
            out.append("\\fI%s\\fP" % escaped(piece[1:-1]))
        elif piece.endswith("()"):
            out.append("\\fB%s\\fP()" % piece[:-2])
        elif re.fullmatch(r"\w+\.h", piece):
            out.append("\\fBhardy_%s\\fP(3)" % piece[:-2])
        elif piece.startswith("HARDY_"):
            out.append("\\fB%s\\fP" % piece)
        else:
            out.append(escaped(piece) if piece else "")
    line = "".join(out)
    return "\\&" + line if line[:1] in (".", "'") else line


def prose(text):
    """Paragraphs, lists and what is laid out by hand."""
    out = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.split("\n")
        while lines:
            if lines[0].startswith("    "):
                out += [".Bd -literal -offset indent"]
                while lines and lines[0].startswith("  "):
                    out.append(escaped(lines.pop(0)[4:].replace("`", "")) or "\\&")
                out += [".Ed"]
                continue
            if lines[0].startswith("- "):
                out += [".Bl -bullet"]
                while lines and lines[0].startswith(("- ", "  ")):
                    item = [lines.pop(0)[2:]]
                    while lines and lines[0].startswith("  "):
                        item.append(lines.pop(0).strip())
                    out += [".It"] + sentences(" ".join(item))
                out += [".El"]
                continue
            run = []
            while lines and not lines[0].startswith(("    ", "- ")):
                run.append(lines.pop(0).strip())
            out += ([".Pp"] if out else []) + sentences(" ".join(run))
    return out


def sentences(text):
    return [styled(s) for s in re.split(r"(?<=[.:;!?])(?<![ (][A-Z]\.) (?=[A-Z`*])", text) if s]


def entry(name, doc):
    """A row of a tagged list."""
    return [f".It {name}"] + (prose(doc) if doc else [])


def tagged(rows):
    return [".Bl -tag -width Ds"] + [line for row in rows for line in row] + [".El"] if rows else []


def quoted(text):
    return '"%s"' % text.replace('"', '""')


def prototype(item):
    """The function as SYNOPSIS shows it."""
    kind, arguments = re.match(r"(.*?)\b%s\((.*)\)$" % item.name, item.text).groups()
    return [f".Ft {quoted(kind.strip())}", f".Fo {item.name}"] + [
        f".Fa {quoted(argument.strip())}" for argument in re.split(r",(?![^()]*\))", arguments)] + [".Fc"]


def member_tag(member):
    """The type and the names of a member of a structure."""
    match = re.match(r"([^(]*?) ?((?:\**\w+(?:\[\w+\])?, )*\**\w+(?:\[\w+\])?)$", member)
    if not match:  # a pointer to a function
        return f"Vt {quoted(member)}"
    return f"Vt {quoted(match.group(1))} Fa {match.group(2).replace(',', ' ,')}"


def type_section(item, values):
    out = [f".Ss {item.name}"] + prose(item.doc)
    if item.kind == "struct":
        out += tagged([entry(member_tag(member), doc) for member, doc in item.members])
    elif item.kind == "enum" and item.members:
        rows, next_value = [], 0
        for member, doc in item.members:
            name, _, value = member.partition(" = ")
            value = value.strip() or str(next_value)
            next_value = int(value, 0) + 1
            rows.append(entry(f"Dv {name} No = {escaped(value)}", doc))
        out += tagged(rows)
    elif item.kind == "enum":
        out += tagged([entry(f"Dv HARDY_{name} No = {escaped(value)}", f"{text} (class `HARDY_CLASS_{kind}`)")
                       for name, value, kind, text in values.values()])
    elif item.kind == "callback":
        out += [".Bd -literal", escaped(item.text + ";"), ".Ed"]
    elif item.kind == "opaque" and not item.doc:
        out += ["Opaque."]
    return out


def errors(header, values):
    """Every status that the page speaks of, and where."""
    where = {name: [] for name in re.findall(r"\bE_[A-Z_]+\b", header.description)}
    for item in header.of("function"):
        for name in re.findall(r"\bE_[A-Z_]+\b", item.doc if item.text.startswith("hardy_status ") else ""):
            where.setdefault(name, [])
            if item.name not in where[name]:
                where[name].append(item.name)
    rows = []
    for name, value, _, text in values.values():
        if name in where:
            rows.append([f".It Dv HARDY_{name}", escaped(text) + (":" if where[name] else "")] + [
                f".Fn {function}" + (" ," if function != where[name][-1] else "") for function in where[name]])
    return [".Sh ERRORS"] + tagged(rows) if rows else []


def page(header, headers):
    values = {row[0]: row for h in headers for table in h.of("table") for row in table.members}
    functions = header.of("function")
    names = [header.page] + [f.name for f in functions if f.name != header.page]
    out = ['.\\" SPDX-License-Identifier: Apache-2.0',
           f'.\\" Made by `make man` from include/hardy/{header.name}.h.',
           f".Dd {DATE}", f".Dt {header.page.upper()} 3", ".Os", ".Sh NAME"]
    out += [f".Nm {name} ," for name in names[:-1]] + [f".Nm {names[-1]}", f".Nd {escaped(header.one_line())}"]
    library = LIBRARIES.get(header.name, "hardy")
    out += [".Sh LIBRARY", escaped(f"lib{library}: cc ... $(pkg-config --cflags --libs {library})"),
            ".Sh SYNOPSIS", f".In hardy/{header.name}.h"]
    for function in functions:
        out += prototype(function)
    out += [".Sh DESCRIPTION"] + prose(header.description)
    rows = []
    for item in header.of("function", "text", "heading"):
        if item.kind == "function":
            rows.append(entry(f"Fn {item.name}", item.doc))
            continue
        out += tagged(rows)
        rows = []
        out += [f".Ss {escaped(item.text.capitalize())}"] if item.kind == "heading" else [".Pp"] + prose(item.text)
    out += tagged(rows)
    if header.name == "hardy":
        out += [".Pp", "Each header has a page:"] + tagged(
            [entry(f"Xr {h.page} 3", h.one_line()) for h in headers if h.name != "hardy"])
    macros, types = header.of("macro"), header.of("struct", "enum", "callback", "opaque")
    if macros:
        out += [".Sh CONSTANTS"] + tagged([entry(f"Dv {m.name} No {quoted(escaped(m.text))}" if m.text else f"Dv {m.name}", m.doc)
                                      for m in macros if m.name not in ATTRIBUTES])
    if types:
        out += [".Sh TYPES"]
        if any(item.kind == "struct" and item.members for item in types):
            out += ["After what a member is for come its default and its range, where it has them."]
        for item in types:
            out += type_section(item, values)
    if any(f.text.startswith("hardy_status ") for f in functions):
        out += [".Sh RETURN VALUES", "A function that returns", ".Vt hardy_status", "gives", ".Dv HARDY_OK",
                "or one of the errors below, a negative value;", ".Xr hardy_status 3", "tells what each means for a caller."]
    out += errors(header, values)
    others = sorted({h.page for h in headers if h.name in header.includes or header.name in h.includes} - {header.page})
    out += [".Sh SEE ALSO"] + [f".Xr {name} ," for name in ["hardy 1"] + [name + " 3" for name in others]]
    out[-1] = out[-1][:-2]
    return "\n".join(out) + "\n"


def unexplained(header):
    for item in header.items:
        if item.kind in ("function", "struct", "enum", "callback", "opaque") and not item.doc and not item.members:
            yield f"include/hardy/{header.name}.h:{item.line}: {item.name} is not explained"


def main():
    command, *places = sys.argv[1:] or ["help"]
    include, man = ROOT / "include/hardy", ROOT / "man"
    if len(places) == 2:
        include, man = map(pathlib.Path, places)
    elif places:
        man = pathlib.Path(os.environ["MESON_INSTALL_DESTDIR_PREFIX"], places[0], "man3")
    headers = [Header(path) for path in sorted(include.glob("*.h"))]
    pages = {header.page + ".3": page(header, headers) for header in headers}
    there = {path.name for path in man.glob("hardy*.3")}
    if command == "write":
        for name in there - set(pages):
            (man / name).unlink()
        for name, text in pages.items():
            (man / name).write_text(text, encoding="utf-8")
    elif command == "check":
        wrong = [f"man/{name}: no header is behind it: make man" for name in sorted(there - set(pages))]
        for name, text in sorted(pages.items()):
            if name not in there or (man / name).read_text(encoding="utf-8") != text:
                wrong.append(f"man/{name}: not what the header says: make man")
        wrong += [line for header in headers for line in unexplained(header)]
        print("\n".join(wrong) or f"{len(pages)} pages are what the headers say")
        return 1 if wrong else 0
    elif command == "install":
        man.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (man / name).write_text(text, encoding="utf-8")
        for header in headers:
            for item in header.of("function", "struct", "enum", "callback", "opaque"):
                link = man / (item.name + ".3")
                if item.name != header.page:
                    link.unlink(missing_ok=True)
                    os.symlink(header.page + ".3", link)
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
