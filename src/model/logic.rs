/// How the level, the groups and the ids of a response go together.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Logic {
    /// Level AND group, OR one of the ids (Wazuh 4.14 analysisd/rules.c
    /// Rule_AddAR).
    #[default]
    Wazuh,
    /// Level OR group OR one of the ids (OSSEC analysisd/rules.c).
    Ossec,
}
