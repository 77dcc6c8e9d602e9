"""The look into a package: what a stranger's hand would leave is found, what the installed version has already is not told."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest

from plugins.module_utils.packages import Change
from plugins.module_utils.supply_chain import evidence, look, objection

HEAD = b"<?php\n/*\n * Plugin Name: Good\n * Version: %s\n * Author: Ada\n * Author URI: https://ada.example/\n */\n"
OLD = {
    "good/good.php": HEAD % b"1.0",
    "good/inc/a.php": b"<?php wp_remote_get('https://api.ada.example/x');\n",
    "good/js/known.php": b"<?php echo 1;\n",
    "good/inc/license.php": b"<?php eval(base64_decode('b2xk'));\n",
}
NEW = {**OLD, "good/good.php": HEAD % b"2.0"}
SHELL = b"<?php system($_GET['c']);\n"


def looked(folder: Path, new: dict[str, bytes], old: dict[str, bytes] | None = None) -> list[tuple[str, str, str]]:
    """Return what is found in a package with these files beside an installed plugin with those."""
    for name, content in (OLD if old is None else old).items():
        path = folder / "site" / "wp-content" / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with zipfile.ZipFile(folder / "package.zip", "w") as archive:
        for name, content in new.items():
            archive.writestr(name, content)
    change = Change("plugin", "good", "good/good.php", "1.0", "2.0", "", zip=str(folder / "package.zip"))
    return [
        (each.level, each.what, each.where.removeprefix("wp-content/plugins/"))
        for each in look(change, str(folder / "site"))
    ]


def test_of_an_honest_release_nothing_is_told(tmp_path: Path) -> None:
    assert looked(tmp_path, {**NEW, "good/inc/b.php": b"<?php // https://docs.example/\nfunction b() {}\n"}) == []


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("good/images/x.php", SHELL, ("high", "code in a folder named images", "good/images/x.php")),
        ("good/languages/de/x.phtml", SHELL, ("high", "code in a folder named languages", "good/languages/de/x.phtml")),
        ("good/css/x.phar", SHELL, ("high", "code in a folder named css", "good/css/x.phar")),
        ("good/assets/x.php.jpg", SHELL, ("high", "code in a folder named assets", "good/assets/x.php.jpg")),
        ("good/x.ico", b"GIF89a<?PHP eval($x);", ("high", "code in a picture", "good/x.ico")),
        # Where there has been code before, more of it is only noted.
        ("good/js/more.php", SHELL, ("low", "code in a folder named js", "good/js/more.php")),
        ("good/x.php", b"<?php eval(base64_decode('ZXZpbA=='));", ("high", "code that runs decoded text", "good/x.php")),
        ("good/x.php", b"<?php @Eval /* */ ( GzInflate(\nbase64_decode($x)));", ("high", "code that runs decoded text", "good/x.php")),
        ("good/x.php", b"<?php assert(str_rot13($x));", ("high", "code that runs decoded text", "good/x.php")),
        ("good/x.php", b"<?php create_function('', hex2bin('00'));", ("high", "code that runs decoded text", "good/x.php")),
        ("good/x.php", b"<?php $a = '/*'; eval(base64_decode($x)); $b = '*/';", ("high", "code that runs decoded text", "good/x.php")),
        ("good/x.php", b"<?php $x = base64_decode('eA=='); eval($x);", ("low", "code that runs a variable, beside code that decodes text", "good/x.php")),
        ("good/x.php", b"<?php get('http:\\/\\/Evil.example\\/x');", ("low", "a host that was not named before: evil.example", "good/x.php")),
        ("good/good.php", (HEAD % b"2.0").replace(b"Ada\n", b"Mallory\n"), ("high", "another Author", "Ada -> Mallory")),
        ("good/good.php", (HEAD % b"2.0").replace(b" */", b" * Update URI: https://evil.example/\n */"), ("high", "another Update URI", "(none) -> https://evil.example/")),
        ("good/good.php", (HEAD % b"2.0").replace(b"https://ada.example/", b"https://ada.example/me"), ("low", "another Author URI", "https://ada.example/ -> https://ada.example/me")),
    ],
)  # fmt: skip
def test_what_is_new_is_told(tmp_path: Path, name: str, content: bytes, found: tuple[str, str, str]) -> None:
    assert looked(tmp_path, {**NEW, name: content}) == [found]


@pytest.mark.parametrize(
    "content",
    [
        b"<?php\n// Silence is golden.\n",
        b"",
        b"<?php return array('dependencies' => array('wp-blocks', 'wp-i18n'), 'version' => '2.0');\n",
        b"<?php\n/* made */\nreturn ['messages'=>['Hello'=>'Hallo','It\\'s'=>\"Es ist\"], 'n' => -1.5, 'x' => true];",
        b"<?php exit; ?>\n",
    ],
)
def test_what_tools_generate_beside_scripts_is_no_code(tmp_path: Path, content: bytes) -> None:
    assert looked(tmp_path, {**NEW, "good/assets/index.asset.php": content}) == []


@pytest.mark.parametrize(
    "content",
    [
        b"<?php return [system('x')];",
        b"<?php return array($_GET['x']);",
        b'<?php return ["a{$x}"];',
        b"<?php exit(f());",
    ],
)
def test_an_array_with_a_call_in_it_is_code(tmp_path: Path, content: bytes) -> None:
    assert looked(tmp_path, {**NEW, "good/assets/index.asset.php": content})[0][0] == "high"


@pytest.mark.parametrize(
    "content",
    [
        b"/*" * 2_000_000,
        b"\n" * 4_000_000 + b"x",
        b"<?php return [" + b"1" * 4_000_000 + b"x",
        b"<?php " + b"eval( " * 600_000,
        b"<?php return ['" + b"\\'" * 1_900_000,
        b"http://" + b"a." * 1_900_000,
    ],
)
def test_a_hostile_file_takes_no_time(tmp_path: Path, content: bytes) -> None:
    began = time.monotonic()
    looked(tmp_path, {**NEW, "good/assets/x.php": content})
    assert time.monotonic() - began < 10


def test_a_look_that_comes_to_its_bound_says_so(tmp_path: Path) -> None:
    looked(tmp_path, NEW)
    change = Change("plugin", "good", "good/good.php", "1.0", "2.0", "", zip=str(tmp_path / "package.zip"))
    (finding,) = look(change, str(tmp_path / "site"), seconds=-1)
    assert (finding.level, finding.what) == ("low", "not all of it could be looked at")


def test_the_contract_says_from_which_findings_on_a_person_has_to_look(tmp_path: Path) -> None:
    looked(tmp_path, {**NEW, "good/x.php": b"<?php get('http://evil.example/');"})
    change = Change("plugin", "good", "good/good.php", "1.0", "2.0", "", zip=str(tmp_path / "package.zip"))
    low = look(change, str(tmp_path / "site"))
    assert objection(low, "high") == ""
    assert objection(low, "low").startswith("a person has to look at it first: a host that was not named before: evil")
    looked(tmp_path, {**NEW, "good/x.php": b"<?php eval(base64_decode('x')); get('http://evil.example/');"})
    high = look(change, str(tmp_path / "site"))
    assert "decoded text" in objection(high, "high")
    assert "evil" not in objection(high, "high")
    assert objection(high, "never") == ""
    kept = evidence(change, high)
    assert (kept["level"], len(kept["findings"]), kept["more"]) == ("high", 2, 0)
