"""A first configuration: from what a user wishes to a commented file that loads and samples."""

from ssl4eco_data.starter.archives import ARCHIVES
from ssl4eco_data.starter.document import document
from ssl4eco_data.starter.start import Start, of_archive, start, write
from ssl4eco_data.starter.wishes import Wishes

__all__ = ["ARCHIVES", "Start", "Wishes", "document", "of_archive", "start", "write"]
