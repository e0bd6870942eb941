using System.CommandLine;

namespace Fleet.Client.Commands;

/// <summary>The options of every command that reads or writes stored runs.</summary>
internal sealed class StoreOptions
{
    public Option<string?> Results { get; } = new("--results")
    {
        Description = "Directory of result files (default ./fleet-results).",
        HelpName = "DIR",
    };

    public Option<string?> Store { get; } = new("--store")
    {
        Description =
            "A PostgreSQL store, postgres://USER@HOST:PORT/DATABASE or private (see fleet db), instead of files.",
        HelpName = "URL",
    };

    public Option<bool> Json { get; } = CommonOptions.Json();

    public void AddTo(Command command)
    {
        command.Add(Results);
        command.Add(Store);
        command.Add(Json);
    }
}
