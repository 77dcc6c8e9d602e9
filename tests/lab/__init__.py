"""The lab: real client web servers on one machine, with a store and a WordPress.org of their own. See README.md."""

from tests.lab.bad_releases import BAD
from tests.lab.ceph import Ceph
from tests.lab.hosts import Host, Page
from tests.lab.lab import Lab
from tests.lab.layout import LabError
from tests.lab.mirror import Mirror
from tests.lab.releases import RELEASES
from tests.lab.s3 import S3

__all__ = ["BAD", "RELEASES", "S3", "Ceph", "Host", "Lab", "LabError", "Mirror", "Page"]
