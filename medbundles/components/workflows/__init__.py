"""How a bundle's configuration is run: checked first, recorded throughout."""

from medbundles.components.device import select_device
from medbundles.components.distributed import is_writer, wrap_for_distributed
from medbundles.components.workflows.endings import close_open_sessions
from medbundles.components.workflows.session import RunSession
from medbundles.components.workflows.strict import StrictWorkflow

__all__ = [
    "RunSession",
    "StrictWorkflow",
    "close_open_sessions",
    "is_writer",
    "select_device",
    "wrap_for_distributed",
]
