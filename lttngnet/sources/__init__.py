"""Where packets come from: one module or folder for each `IPacketSource`."""
