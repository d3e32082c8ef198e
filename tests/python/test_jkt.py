"""Jupyter's own conformance cases, asked of our kernel."""

import jupyter_kernel_test
import pytest

from conversation import KERNEL


@pytest.mark.usefixtures("warm")
class TestConformance(jupyter_kernel_test.KernelTests):
    """The cases of `jupyter_kernel_test`, with samples in Rust and in magics."""

    kernel_name = KERNEL
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("oops");'
    code_generate_error = 'panic!("boom")'
    code_clear_output = "spinbot::clear_output(false);"
    complete_code_samples = ["1 + 1", "fn f() {}", "let x = 1;", '"{"', "// {", "%lsmagic", "%render?"]
    incomplete_code_samples = ["fn f() {", "let x = vec![1,", '"open', "/* open"]
    invalid_code_samples = ["fn f() }", "vec![1)"]
    code_execute_result = [
        {"code": "1 + 1", "result": "2"},
        {"code": '"a".len()', "result": "1"},
        {"code": "vec![1, 2]", "result": "[1, 2]"},
    ]
    code_display_data = [
        {"code": 'spinbot::display(Html("<b>x</b>".into()));', "mime": "text/html"},
        {"code": 'spinbot::display(Markdown("# x".into()));', "mime": "text/markdown"},
        {"code": "%lsmagic", "mime": "text/plain"},
    ]
    code_history_pattern = "1 ?*"
    supported_history_operations = ("tail", "range", "search")


@pytest.mark.usefixtures("warm")
class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    """A late subscriber is told when its subscription took hold."""

    kernel_name = KERNEL
    support_iopub_welcome = True
