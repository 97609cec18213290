pub(super) mod wazuh;
