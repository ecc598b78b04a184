"""SSL4Eco data: locations, phenology, scenes, patches and the store they end in."""
