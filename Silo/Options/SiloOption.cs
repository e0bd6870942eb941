namespace Fleet.Silo.Options;

/// <summary>One option of a silo process, under one name in arguments, environment and file.</summary>
/// <param name="Name">Such as <c>health-port</c>.</param>
/// <param name="Default">As it is written in the table.</param>
/// <param name="Accepted">What a value may be.</param>
/// <param name="Meaning">One sentence.</param>
/// <param name="Take">The settings with the value; null when it is not accepted.</param>
internal sealed record SiloOption(
    string Name, string Default, string Accepted, string Meaning, Func<SiloSettings, string, SiloSettings?> Take)
{
    /// <summary>May stand on the command line without a value, which then is yes.</summary>
    public bool IsFlag { get; init; }

    public string Argument => $"--{Name}";

    public string Variable => $"FLEET_{Name.Replace('-', '_').ToUpperInvariant()}";
}
