//! What the host knows of itself: its addresses, gateways and name servers.
