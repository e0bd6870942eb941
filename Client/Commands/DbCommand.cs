using System.CommandLine;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.Client.Commands;

/// <summary><c>fleet db</c>: a private PostgreSQL for development and tests; never a system's server.</summary>
internal static class DbCommand
{
    public static Command Create(Terminal terminal) => new(
        "db", "A private PostgreSQL server on loopback, made from the installed binaries.")
    {
        Of(
            terminal, "up", "Starts the server; makes its data directory first if there is none.",
            async (server, ct) => await server.UpAsync(ct)),
        Of(
            terminal, "down", "Stops the server; its data stays.",
            async (server, ct) =>
            {
                await server.StatusAsync(ct);
                await server.DownAsync(ct);
                return await server.StatusAsync(ct);
            }),
        Of(
            terminal, "status", "Says whether the server runs, and its address; exit 2 when it does not run.",
            async (server, ct) => await server.StatusAsync(ct), exitWhenDown: ExitCode.Unknown),
    };

    private static Command Of(
        Terminal terminal, string name, string description,
        Func<PrivateServer, CancellationToken, Task<PrivateServerStatus>> act, int exitWhenDown = ExitCode.Valid)
    {
        var directory = new Option<string>("--directory")
        {
            Description = $"Where the server keeps its data (default {StoreAddress.PrivateDirectory}).",
            HelpName = "DIR",
            DefaultValueFactory = _ => StoreAddress.PrivateDirectory,
        };
        var json = CommonOptions.Json();
        var command = new Command(name, description) { directory, json };
        command.SetAction(async (parsed, ct) =>
        {
            var status = await act(PrivateServer.In(parsed.GetRequiredValue(directory)), ct);
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(status);
            }
            else
            {
                terminal.Say($"{status.Version}: {(status.IsRunning ? "runs" : "does not run")}, port {status.Port}, "
                    + $"data in {ForeignText.Clean(status.DataDirectory, 4096)}.");
                terminal.Say($"--store {status.Address}");
                terminal.Say($"reading only: {status.AnalystAddress}");
            }

            return status.IsRunning ? ExitCode.Valid : exitWhenDown;
        });
        return command;
    }
}
