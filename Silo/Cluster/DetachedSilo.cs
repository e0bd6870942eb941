using System.Diagnostics;
using Fleet.Storage;

namespace Fleet.Silo.Cluster;

/// <summary>Starts a silo process that outlives who starts it, with its words in a file.</summary>
public static class DetachedSilo
{
    /// <summary>A shell, since a process of .NET cannot give a child a file for its output; it becomes the silo, which
    /// therefore has the number that is returned. A session of its own keeps a terminal's signals away.</summary>
    private const string Script =
        "log=$1; shift; exec </dev/null >>\"$log\" 2>&1; "
        + "if command -v setsid >/dev/null; then exec setsid \"$@\"; fi; exec \"$@\"";

    /// <param name="store">Address of the store; it goes through the environment, since it may hold a
    /// password.</param>
    /// <param name="portsFile">Where the silo writes its health port.</param>
    /// <returns>Number of the process.</returns>
    public static int Start(string cluster, string store, string name, string log, string portsFile)
    {
        var start = new ProcessStartInfo("/bin/sh")
        {
            ArgumentList =
            {
                "-c", Script, "fleet-silo", log, SiloProcess.DotnetHost(), SiloProcess.Program, "--cluster", cluster,
                "--name", name, "--health-port", "0", "--ports-file", portsFile,
            },
            Environment = { [SiloProcess.StoreVariable] = store },
        };
        using var process = Process.Start(start)
            ?? throw new StorageException($"The silo process {SiloProcess.Program} cannot be started.");
        return process.Id;
    }
}
