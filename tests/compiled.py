"""Compiled parts, made of their sources as they are now, whatever is installed."""

import shutil
import subprocess
import sysconfig
import tempfile
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import lttngnet

ROOT = Path(lttngnet.__file__).parents[1]
WARNINGS = ("-Wall", "-Wextra", "-std=c11")


@cache
def why_not():
    """Return what is missing to compile for this Python; None if nothing is."""
    if shutil.which("cc") is None:
        return "no C compiler is installed"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h is not installed"
    return None


@cache
def extension(name, *options):
    """Return an extension module, compiled anew.

    Args:
        name: of the module; its source has the same.
        options: more of them for the compiler.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = ROOT.joinpath(*name.split(".")).with_suffix(".c")
        target = Path(folder, source.stem).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        include = sysconfig.get_path("include")
        command = ["cc", "-shared", "-fPIC", "-O2", *WARNINGS, f"-I{include}", *options]
        subprocess.run([*command, str(source), "-o", str(target)], check=True)
        spec = spec_from_loader(name, ExtensionFileLoader(name, str(target)))
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
