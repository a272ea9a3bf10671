//! Back up SaaS accounts: connectors, repository and open formats behind one door.
