//! nf_tables through nftnl, with the gaps of its safe interface closed.
