using System.Globalization;
using System.Text.Json;
using Fleet.Client.Commands;
using Fleet.Storage.Server;

namespace Fleet.Client.Tests.Runs;

/// <summary>A server made by <c>fleet db up</c> for the tests of a class, stopped and removed after them.</summary>
public sealed class PrivateDatabase : IAsyncLifetime
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("fleet-db-tests-");

    public string Folder => Path.Combine(_directory.FullName, "db");

    public string Store => $"private:{Folder}";

    /// <summary>Of the process that every other one of the server is a child of.</summary>
    public int ServerPid() => int.Parse(
        File.ReadLines(Path.Combine(Folder, "data", "postmaster.pid")).First(), CultureInfo.InvariantCulture);

    public string In(string name) => Path.Combine(_directory.FullName, name);

    public async Task InitializeAsync()
    {
        // The server's own user must be able to enter it.
        File.SetUnixFileMode(_directory.FullName, (UnixFileMode)0b111_101_101);
        if (PrivateServer.FindBinaries() is not null)
            await InvokeAsync(ExitCode.Valid, "db", "up", "--directory", Folder);
    }

    public async Task DisposeAsync()
    {
        if (PrivateServer.FindBinaries() is not null)
            await InvokeAsync(ExitCode.Valid, "db", "down", "--directory", Folder);
        _directory.Delete(recursive: true);
    }

    /// <summary>Runs a command of fleet with <c>--json</c>, in this process.</summary>
    public static async Task<JsonElement> InvokeAsync(int exitCode, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await FleetCommand.InvokeAsync(
            [.. args, "--json"], new Terminal(output, error, isInteractive: false));
        Assert.True(exit == exitCode, $"exit {exit} of {string.Join(' ', args)}\n{error}\n{output}");
        return JsonDocument.Parse(output.ToString()).RootElement;
    }

    public Task<JsonElement> RunAsync(int exitCode, params string[] args) =>
        InvokeAsync(exitCode, [.. args, "--store", Store]);
}
