// SPDX-License-Identifier: Apache-2.0
//! strftime in the C locale, for a local time given as seconds since 1970.

use super::Result;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
];

struct Moment {
    year: i64,
    month: i64, // 1 to 12
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: i64, // Sunday is 0
    yearday: i64, // from 0
    seconds: i64,
}

impl Moment {
    /// The civil date of a day count, by Howard Hinnant's days_from_civil turned round.
    fn new(seconds: i64) -> Moment {
        let days = seconds.div_euclid(86400);
        let rest = seconds.rem_euclid(86400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][(month - 1) as usize];
        Moment {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            yearday: before + i64::from(leap && month > 2) + day - 1,
            seconds,
        }
    }

    /// ISO 8601's year and week.
    fn iso_week(&self) -> (i64, i64) {
        let weekday = (self.weekday + 6) % 7; // Monday is 0
        let week = (self.yearday - weekday + 10) / 7;
        let weeks_in = |year: i64| {
            let p = |y: i64| (y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400)).rem_euclid(7);
            if p(year) == 4 || p(year - 1) == 3 { 53 } else { 52 }
        };
        if week < 1 {
            (self.year - 1, weeks_in(self.year - 1))
        } else if week > weeks_in(self.year) {
            (self.year + 1, 1)
        } else {
            (self.year, week)
        }
    }
}

pub fn strftime(now: i64, pattern: &str) -> Result<String> {
    let moment = Moment::new(now.clamp(-62_135_596_800, 253_402_300_799)); // Python's years 1 to 9999
    let mut out = String::new();
    expand(&moment, pattern, &mut out)?;
    Ok(out)
}

fn expand(moment: &Moment, pattern: &str, out: &mut String) -> Result<()> {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // glibc's flags: - no padding, _ spaces, 0 zeros, ^ upper case.
        let mut flag = None;
        let mut directive = chars.next();
        while let Some(next @ ('-' | '_' | '0' | '^' | '#')) = directive {
            flag = Some(next);
            directive = chars.next();
        }
        let Some(directive) = directive else {
            out.push('%');
            break;
        };
        let begin = out.len();
        let mut number = |value: i64, width: usize, pad: char| {
            match flag {
                Some('-') => out.push_str(&value.to_string()),
                Some('_') => out.push_str(&format!("{value:>width$}")),
                Some('0') => out.push_str(&format!("{value:0width$}")),
                _ if pad == ' ' => out.push_str(&format!("{value:>width$}")),
                _ => out.push_str(&format!("{value:0width$}")),
            };
        };
        let hour12 = (moment.hour + 11) % 12 + 1;
        match directive {
            'Y' => number(moment.year, 1, '0'),
            'C' => number(moment.year.div_euclid(100), 2, '0'),
            'y' => number(moment.year.rem_euclid(100), 2, '0'),
            'm' => number(moment.month, 2, '0'),
            'd' => number(moment.day, 2, '0'),
            'e' => number(moment.day, 2, ' '),
            'H' => number(moment.hour, 2, '0'),
            'k' => number(moment.hour, 2, ' '),
            'I' => number(hour12, 2, '0'),
            'l' => number(hour12, 2, ' '),
            'M' => number(moment.minute, 2, '0'),
            'S' => number(moment.second, 2, '0'),
            'f' => out.push_str("000000"),
            'j' => number(moment.yearday + 1, 3, '0'),
            'u' => number((moment.weekday + 6) % 7 + 1, 1, '0'),
            'w' => number(moment.weekday, 1, '0'),
            'U' => number((moment.yearday + 7 - moment.weekday) / 7, 2, '0'),
            'W' => number((moment.yearday + 7 - (moment.weekday + 6) % 7) / 7, 2, '0'),
            'V' => number(moment.iso_week().1, 2, '0'),
            'G' => number(moment.iso_week().0, 1, '0'),
            'g' => number(moment.iso_week().0.rem_euclid(100), 2, '0'),
            's' => number(moment.seconds, 1, '0'),
            'A' => out.push_str(DAYS[moment.weekday as usize]),
            'a' => out.push_str(&DAYS[moment.weekday as usize][..3]),
            'B' => out.push_str(MONTHS[moment.month as usize - 1]),
            'b' | 'h' => out.push_str(&MONTHS[moment.month as usize - 1][..3]),
            'p' => out.push_str(if moment.hour < 12 { "AM" } else { "PM" }),
            'P' => out.push_str(if moment.hour < 12 { "am" } else { "pm" }),
            'D' | 'x' => expand(moment, "%m/%d/%y", out)?,
            'F' => expand(moment, "%Y-%m-%d", out)?,
            'T' | 'X' => expand(moment, "%H:%M:%S", out)?,
            'R' => expand(moment, "%H:%M", out)?,
            'r' => expand(moment, "%I:%M:%S %p", out)?,
            'c' => expand(moment, "%a %b %e %H:%M:%S %Y", out)?,
            'z' | 'Z' => {} // a naive time has no zone
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '%' => out.push('%'),
            other => out.extend(['%', other]), // as the C library does
        }
        if flag == Some('^') {
            let upper = out[begin..].to_uppercase();
            out.replace_range(begin.., &upper);
        }
    }
    Ok(())
}
