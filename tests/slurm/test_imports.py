import pkgutil
import subprocess
import sys

import slurm

MODULES = sorted(module.name for module in pkgutil.iter_modules(slurm.__path__, "slurm."))


def test_no_module_imports_what_a_login_node_would_wait_for() -> None:
    assert "slurm.supervisor" in MODULES
    heavy = "{'torch', 'lightning', 'optuna', 'transformers', 'hydra', 'deepspeed', 'numpy'}"
    program = f"import sys, {', '.join(MODULES)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
