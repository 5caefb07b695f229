"""What runs inside the sandbox: standard library only, bind-mounted there as the package `guest`."""
