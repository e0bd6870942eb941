using System.CommandLine;
using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Client.Runs;
using Fleet.Kernel.History;

namespace Fleet.Client.Commands;

/// <summary><c>fleet explain</c>: why a finding is one, in the terminal or as a page that can be sent.</summary>
internal static class ExplainCommand
{
    public static Command Create(Terminal terminal)
    {
        var finding = new Argument<string>("FINDING")
        {
            Description = "RUN#NUMBER, FILE#NUMBER for a history file, or NUMBER for the newest run.",
        };
        var html = new Option<string?>("--html")
        {
            Description = "Write one self-contained page to this file instead.",
            HelpName = "FILE",
        };
        var profile = new Option<string?>("--profile")
        {
            Description = "Judge a history file as this kernel, instead of what is recorded.",
            HelpName = "P",
        };
        var store = new StoreOptions();
        var command = new Command(
            "explain", "Explains one finding: the contradiction, the rule, the records that prove it.")
        {
            finding, html, profile,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var reference = FindingReference.Parse(parsed.GetRequiredValue(finding));
            var kernel = parsed.GetValue(profile) is { } name ? ProfileCommand.Parse(name).Name : null;
            var explained = ExplainedFinding.Of(await LoadedFinding.ReadAsync(
                reference, kernel, parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct));
            if (parsed.GetValue(html) is { } path)
            {
                var page = ExplanationPage.Of(explained);
                await page.WriteAsync(path, ct);
                if (!parsed.GetValue(store.Json))
                    terminal.Say($"{explained.Name}: written to {ForeignText.Clean(path)}.");
            }

            if (parsed.GetValue(store.Json))
                terminal.WriteJson(ExplanationView.ToJson(explained));
            else if (parsed.GetValue(html) is null)
                ExplanationView.Show(terminal, explained);
            return ExitCode.Valid;
        });
        return command;
    }
}

/// <summary>A finding that was explained, and where it comes from.</summary>
/// <param name="Name">As commands name it.</param>
/// <param name="Facts">What is known of the run or file, in words.</param>
public sealed record ExplainedFinding(
    string Name, HistoryHeader Header, ObjectTable Objects, Explanation Explanation,
    IReadOnlyList<(string Name, string Value)> Facts)
{
    public static ExplainedFinding Of(LoadedFinding loaded) => new(
        loaded.Name, loaded.Header, loaded.Objects,
        Explainer.Explain(loaded.Finding, loaded.Header, loaded.Records, loaded.Objects), loaded.Facts);
}
