"""From the vendor's csv.gz to proven, typed and measured rows."""
